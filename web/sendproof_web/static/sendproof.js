/* What pages do beyond themselves: copy, ask before a danger, draw charts, find the search with "/".
   Every page works without it. Nothing here builds markup from text: what comes from outside stays text. */
"use strict";

(() => {
  const ownScript = document.currentScript;
  const root = document.documentElement;

  // --- copying ------------------------------------------------------------------------------------------------------

  const COPIED_FOR_MS = 2000;

  function textOf(id) {
    const element = document.getElementById(id);
    if (!element) return "";
    return "value" in element ? element.value : element.innerText || element.textContent;
  }

  async function copy(button) {
    const label = button.querySelector(".copy-label");
    const words = label.dataset.words ?? (label.dataset.words = label.textContent);
    try {
      await navigator.clipboard.writeText(textOf(button.dataset.copy));
    } catch {
      select(button.dataset.copy); // not allowed, or no https: marked, so that one key copies it
      return;
    }
    label.textContent = button.dataset.copied;
    say(button.dataset.copied);
    button.classList.add("done");
    setTimeout(() => {
      label.textContent = words;
      button.classList.remove("done");
    }, COPIED_FOR_MS);
  }

  function select(id) {
    const element = document.getElementById(id);
    if (!element) return;
    if ("select" in element) {
      element.select();
    } else {
      getSelection().selectAllChildren(element);
    }
  }

  // For who does not see it.
  function say(words) {
    let voice = document.getElementById("voice");
    if (!voice) {
      voice = document.createElement("p");
      voice.id = "voice";
      voice.className = "unseen";
      voice.setAttribute("role", "status");
      document.body.append(voice);
    }
    voice.textContent = words;
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });

  // --- asking first -------------------------------------------------------------------------------------------------

  document.addEventListener("submit", (event) => {
    const question = event.submitter?.dataset.confirm ?? event.target.dataset.confirm;
    if (question && !confirm(question)) event.preventDefault();
  });

  // --- keys ---------------------------------------------------------------------------------------------------------

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select, [contenteditable]");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      const search = document.querySelector("[data-search]");
      if (search) {
        event.preventDefault();
        search.focus();
        search.select();
      }
    }
    if (event.key === "Escape") {
      const menu = event.target.closest("details.menu[open]");
      if (menu) {
        menu.open = false;
        menu.querySelector("summary").focus();
      }
    }
  });

  // --- charts -------------------------------------------------------------------------------------------------------

  const CHART_HEIGHT = 240;
  const drawn = new Map();

  function colour(name) {
    return getComputedStyle(root).getPropertyValue(`--${name}`).trim();
  }

  function zoneThatWorks(zone) {
    try {
      new Intl.DateTimeFormat("en", { timeZone: zone });
      return zone;
    } catch {
      return "UTC";
    }
  }

  // Each on top of those before it. What is not known counts as nothing, but is shown as unknown.
  function stacked(series) {
    const tops = [];
    for (const { values } of series) {
      const below = tops.at(-1);
      tops.push(values.map((value, i) => (value ?? 0) + (below ? below[i] : 0)));
    }
    return tops;
  }

  function draw(figure) {
    drawn.get(figure)?.destroy();
    const place = figure.querySelector(".chart-picture");
    const data = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
    const zone = zoneThatWorks(figure.dataset.zone);
    const unit = figure.dataset.unit ? ` ${figure.dataset.unit}` : "";
    const days = figure.dataset.days === "yes";
    // The day before the month, as on the rest of the page.
    const language = root.lang === "en" ? "en-GB" : root.lang;
    const date = new Intl.DateTimeFormat(language, { timeZone: zone, day: "numeric", month: "short" });
    const clock = new Intl.DateTimeFormat(language, { timeZone: zone, hour: "2-digit", minute: "2-digit", hour12: false });
    const number = new Intl.NumberFormat(language, { maximumFractionDigits: 1 });
    const time = (second) => (days ? date : clock).format(new Date(second * 1000));
    const moment = (second) => (days ? time(second) : `${date.format(new Date(second * 1000))} ${time(second)}`);
    const bars = data.kind !== "lines";
    const values = bars ? stacked(data.series) : data.series.map((line) => line.values);
    const lines = data.series.map((line) => ({
      label: line.label,
      stroke: colour(`chart-${line.tone ?? "accent"}`),
      fill: bars ? colour(`chart-${line.tone ?? "accent"}`) : undefined,
      width: bars ? 0 : 2,
      paths: bars ? uPlot.paths.bars({ size: [0.72, 48], radius: 0.15 }) : undefined,
      points: { show: !bars && data.x.length === 1 },
      // The numbers themselves, not the height that they are stacked to.
      value: (_, _v, _s, at) => (at == null ? "" : line.values[at] == null ? "–" : number.format(line.values[at]) + unit),
    }));
    if (bars) {
      // The highest first: the others are drawn over it.
      lines.reverse();
      values.reverse();
    }
    const axis = { stroke: colour("ink-soft"), font: "12px system-ui, sans-serif", ticks: { show: false } };
    const chart = new uPlot(
      {
        width: Math.max(place.clientWidth, 200),
        height: CHART_HEIGHT,
        tzDate: (second) => uPlot.tzDate(new Date(second * 1000), zone),
        cursor: { y: false, points: { show: !bars } },
        legend: { markers: { width: 0, fill: (_, i) => lines[i - 1]?.stroke } },
        scales: {
          x: bars ? { range: (_, low, high) => widened(low, high, data.x) } : {},
          y: { range: (_, _low, high) => [0, (bars ? Math.max(high || 0, 1) : high || 1) * 1.05] },
        },
        axes: [
          { ...axis, grid: { show: false }, space: 64, incrs: days ? WHOLE_DAYS : undefined, values: (_, at) => at.map(time) },
          {
            ...axis,
            size: 56,
            grid: { stroke: colour("line"), width: 1 },
            incrs: bars ? WHOLE_NUMBERS : undefined,
            values: (_, at) => at.map((value) => number.format(value)),
          },
        ],
        series: [{ label: figure.dataset.time, value: (_, second) => (second == null ? "" : moment(second)) }, ...lines],
      },
      [data.x, ...values],
      place,
    );
    // Their names in the order of the data, and the time behind them.
    place.querySelectorAll(".u-series").forEach((row, i) => (row.style.order = i === 0 ? 99 : bars ? 50 - i : i));
    drawn.set(figure, chart);
    figure.classList.add("drawn");
  }

  const DAY = 86400;
  const WHOLE_DAYS = [1, 2, 3, 5, 7, 10, 14, 30, 60, 90, 180, 365].map((count) => count * DAY);
  const WHOLE_NUMBERS = [1, 2, 5].flatMap((digit) => Array.from({ length: 10 }, (_, power) => digit * 10 ** power)).sort((a, b) => a - b);

  // Half a bar's room on both sides.
  function widened(low, high, x) {
    const step = x.length > 1 ? x[1] - x[0] : DAY;
    return [low - step / 2, high + step / 2];
  }

  function drawAll() {
    for (const figure of document.querySelectorAll("[data-chart]")) draw(figure);
  }

  function startCharts() {
    const figures = document.querySelectorAll("[data-chart]");
    if (!figures.length) return;
    const script = document.createElement("script");
    script.src = ownScript.dataset.charts;
    script.addEventListener("load", () => {
      drawAll();
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
      const resized = new ResizeObserver((entries) => {
        for (const { target } of entries) {
          const chart = drawn.get(target.closest("[data-chart]"));
          if (chart && target.clientWidth && chart.width !== target.clientWidth) {
            chart.setSize({ width: target.clientWidth, height: CHART_HEIGHT });
          }
        }
      });
      for (const figure of figures) resized.observe(figure.querySelector(".chart-picture"));
    });
    document.head.append(script);
  }

  // --- the visitor's own time zone ----------------------------------------------------------------------------------

  function chooseOwnZone() {
    const zones = document.querySelector("select[data-own-zone]");
    if (!zones || document.querySelector("[aria-invalid]")) return; // what somebody chose stays chosen
    const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if ([...zones.options].some((option) => option.value === own)) zones.value = own;
  }

  // --- a page, and what htmx puts into it ---------------------------------------------------------------------------

  function wake(part) {
    for (const button of part.querySelectorAll("[data-copy][hidden]")) button.hidden = false;
  }

  document.addEventListener("htmx:load", (event) => wake(event.target));
  // A page in the background need not ask.
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (document.hidden && event.target.matches("[hx-trigger*='every']")) event.preventDefault();
  });

  // On a phone the row of neighbours is wider than the screen.
  document.querySelector(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  wake(document);
  chooseOwnZone();
  startCharts();
})();
