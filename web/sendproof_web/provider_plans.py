"""The provider's plans: create, change, and what a change would have meant in the last days (`plan_trial`)."""

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import ngettext
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from sendproof_core import directory, plan_changes, plan_trial
from sendproof_core.errors import UserError
from sendproof_core.plan_trial import LimitTrial, PlanTrial
from sendproof_core.schema import Account, Plan
from sendproof_web import plan_limits
from sendproof_web.access import actor, provider
from sendproof_web.locale import number
from sendproof_web.plan_limits import PlanForm
from sendproof_web.services import services

blueprint = Blueprint("provider_plans", __name__)


@blueprint.get("/provider/plans")
@provider
def index() -> ResponseReturnValue:
    """All plans with the number of their accounts."""
    counted = select(func.count()).where(Account.plan_id == Plan.id).scalar_subquery()
    with services().database.reading() as session:
        rows = session.execute(select(Plan, counted).order_by(Plan.name)).all()
        plans = [
            (plan.id, plan.name, accounts, plan_limits.limit_words(directory.plan_limits(plan)))
            for plan, accounts in rows
        ]
    return render_template("provider_plans.html", plans=plans)


@blueprint.route("/provider/plans/new", methods=["GET", "POST"])
@provider
def new() -> ResponseReturnValue:
    """A new plan."""
    form = PlanForm()
    if not form.validate_on_submit():
        return _page(form, None), 422 if request.method == "POST" else 200
    try:
        with services().database.writing() as session:
            plan_changes.create(session, form.name.data, form.limits(), actor(), services().now())
    except (UserError, IntegrityError):  # the latter: somebody made it at the same moment
        form.name.errors = [_name_problem()]
        return _page(form, None), 422
    flash(_("The plan %(name)s is made.", name=form.name.data), "good")
    return redirect(url_for("provider_plans.index"), 303)


@blueprint.route("/provider/plans/<int(max=2147483647):plan_id>", methods=["GET", "POST"])
@provider
def edit(plan_id: int) -> ResponseReturnValue:
    """Change a plan, after a look at what the change would have meant."""
    with services().database.reading() as session:
        plan = session.get(Plan, plan_id)
        if plan is None:
            abort(404)
        edition = plan_changes.edition(plan)
        form = PlanForm(name=plan.name, edition=edition, **plan_limits.typed(directory.plan_limits(plan)))
    if request.method != "POST":
        return _page(form, plan_id)
    if not form.validate():
        return _page(form, plan_id), 422
    if form.edition.data != edition:
        return _conflict(form, plan_id)
    if "preview" in request.form:
        with services().database.reading() as session:
            plan = session.get_one(Plan, plan_id)
            before = directory.plan_limits(plan)
            trial = plan_trial.run(session, plan, before, form.limits(), services().now())
        return _page(form, plan_id, trial)
    try:
        with services().database.writing() as session:
            plan = session.get(Plan, plan_id)
            if plan is None:
                abort(404)
            if plan_changes.edition(plan) != form.edition.data:  # somebody was faster, in this very moment
                return _conflict(form, plan_id)
            changed = plan_changes.change(session, plan, form.limits(), actor(), services().now(), name=form.name.data)
    except (UserError, IntegrityError):  # the latter: somebody made it at the same moment
        form.name.errors = [_name_problem()]
        return _page(form, plan_id), 422
    flash(
        _("The plan is changed. It holds from the next message on.") if changed else _("Nothing was different."), "good"
    )
    return redirect(url_for("provider_plans.edit", plan_id=plan_id), 303)


@blueprint.post("/provider/plans/<int(max=2147483647):plan_id>/delete")
@provider
def delete(plan_id: int) -> ResponseReturnValue:
    """Forget a plan that nobody has."""
    try:
        with services().database.writing() as session:
            plan = session.get(Plan, plan_id)
            if plan is None:
                abort(404)
            name = plan.name
            plan_changes.remove(session, plan, actor(), services().now())
    except UserError:
        flash(_("Accounts have this plan: give them another one first."), "bad")
        return redirect(url_for("provider_plans.edit", plan_id=plan_id), 303)
    flash(_("The plan %(name)s is deleted.", name=name), "good")
    return redirect(url_for("provider_plans.index"), 303)


def _conflict(form: PlanForm, plan_id: int) -> ResponseReturnValue:
    form.form_errors.append(
        _("Somebody else has changed this plan in the meantime. Load the page again and make your change to theirs.")
    )
    return _page(form, plan_id), 409


def _page(form: PlanForm, plan_id: int | None, trial: PlanTrial | None = None) -> str:
    accounts, name = 0, ""
    if plan_id is not None:
        with services().database.reading() as session:
            name = session.get_one(Plan, plan_id).name
            accounts = session.scalar(select(func.count()).select_from(Account).where(Account.plan_id == plan_id)) or 0
    return render_template(
        "provider_plan.html",
        form=form,
        plan_id=plan_id,
        name=name,
        accounts=accounts,
        trial=trial,
        verdicts=[] if trial is None else [(one, *_verdict(one)) for one in trial.limits],
        names=plan_limits.NAMES,
        value_words=plan_limits.value_words,
    )


def _verdict(one: LimitTrial) -> tuple[str, str]:
    """The tone of a changed limit's pill, and what it would have meant."""
    most = plan_limits.value_words(one.name, one.most)
    if not one.is_tighter:
        return "good", str(_("Wider than before. The most that was used: %(most)s.", most=most))
    if one.over == 0:
        return "good", str(_("Nobody would have noticed. The most that was used: %(most)s.", most=most))
    accounts = ngettext("%(num)s account", "%(num)s accounts", one.accounts)
    times = number(one.over)
    who = ", ".join(one.logins) if one.accounts <= len(one.logins) else ", ".join(one.logins) + ", …"
    if one.is_of_messages:
        text = _(
            "%(times)s messages of %(accounts)s were larger than that (%(who)s).",
            times=times,
            accounts=accounts,
            who=who,
        )
    else:
        text = _(
            "%(accounts)s used more than that, %(times)s times (%(who)s).", times=times, accounts=accounts, who=who
        )
    return "waiting", str(text) + " " + str(_("The most that was used: %(most)s.", most=most))


def _name_problem() -> str:
    return str(_("Another plan has this name, or it has characters that cannot be shown."))
