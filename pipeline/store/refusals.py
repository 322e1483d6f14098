"""What goes wrong with an object store, in one line that says what to type."""

from __future__ import annotations

from pipeline.errors import first_line

_NO_CREDENTIALS = (
    "NoCredentialsError",
    "PartialCredentialsError",
    "DefaultCredentialsError",
    "ClientAuthenticationError",
)
_SIGN_IN = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment (or what the file system reads), or type "
    "store.options.anon=true where it may be read by anybody"
)


def refusal(error: BaseException, address: str) -> str:
    """The line for what a file system of fsspec raised."""
    names = {type(one).__name__ for one in _chain(error)}
    if names & set(_NO_CREDENTIALS):
        return f"{address}: nobody is signed in: {_SIGN_IN}"
    if isinstance(error, PermissionError):
        return f"{address}: access is denied ({first_line(error)}): {_SIGN_IN}"
    if isinstance(error, FileNotFoundError):
        return f"{address}: {_words(error)}: make the bucket first, or type store.path=ADDRESS of one that exists"
    if isinstance(error, NotImplementedError):
        return f"{address} can't be written: type an address of a file system that can, as s3://BUCKET/PREFIX"
    return (
        f"{address} can't be reached: {first_line(error)}: is the server up? Type store.options.endpoint_url=URL or "
        "AWS_ENDPOINT_URL=URL before the command for one that is not Amazon's, or store.path=FOLDER"
    )


def _words(error: BaseException) -> str:
    words = str(error).strip().rstrip(".") or type(error).__name__
    return words[:1].lower() + words[1:]


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
