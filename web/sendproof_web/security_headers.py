"""The headers that every answer carries: what a browser may load, and that nobody may frame us."""

from flask import Flask, Response

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not "no-referrer": the CSRF check of an https site wants to see its own pages.
    "Referrer-Policy": "same-origin",
    # Nothing here needs them, and nothing that gets in may ask for them.
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Static files and the pixel say something else.
    "Cache-Control": "no-store",
}
_ONE_YEAR = "max-age=31536000"


def install(app: Flask, *, https: bool) -> None:
    """Add them to every answer that does not set its own."""
    headers = {**_HEADERS, "Strict-Transport-Security": _ONE_YEAR} if https else _HEADERS

    def add(response: Response) -> Response:
        for name, value in headers.items():
            response.headers.setdefault(name, value)
        return response

    app.after_request(add)
