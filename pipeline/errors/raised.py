"""Everything slimline raises on purpose.

SlimlineError                 exit code 1
├── UserError                 exit code 2: the input is wrong; one line a problem
├── Skipped                   a row that does not apply here, with the reason
│   ├── BackendUnavailable    a device or provider is missing
│   ├── Unchanged             a stage has nothing to do: its chain goes on with the model as it was
│   └── NoExamples            the data has none for this split
├── StageFailed               a variant's stage failed; the other variants go on
│   └── Misnamed              a stage's field names what the model has not
├── WorkerFailed              a measuring process failed or died
├── CorruptEntry              a stored artifact's bytes are not what was written
├── OutOfSpace                the disk is full
├── Unreachable               a server does not answer, or refuses
└── VerificationFailed        a deploy bundle or a self-test did not pass
"""

from __future__ import annotations

import errno
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from pipeline.errors.reasons import cause, text_of, traced, unforeseen_in

logger = logging.getLogger(__name__)

_NO_MEMORY = (
    "out of memory",  # PyTorch, CUDA, TensorRT
    "failed to allocate memory",  # ONNX Runtime
    "smaller than requested bytes",  # ONNX Runtime, at the limit of its arena
    "alloc_failed",  # cuBLAS, cuDNN
    "resource allocation failed",  # the same, in ONNX Runtime's words
    "bad_alloc",
    "can't allocate memory",  # PyTorch on the CPU
)
_OUTSIDE_TABLE = "index out of range in self"
"""PyTorch's words for a number that an embedding has no row for."""
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_SHORT_WRITE = "requested and"
_SHORT_BYTES = 2**20
TEMPORARY_PREFIX = "slimline-run-"
"""The beginning of the name of a run's own folder of temporary files."""
TEMPORARY_ADVICE = "type TMPDIR=FOLDER before the command"
_RUN_ADVICE = "type hydra.run.dir=FOLDER for a folder on another disk"
_TOO_MANY = (errno.EMFILE, errno.ENFILE)
_OF_FILES = (
    *_TOO_MANY,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENOTEMPTY,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EIO,
    errno.EFBIG,
)
"""What the system says of files; other errors of its are no matter of a disk."""


class SlimlineError(Exception):
    """Root of the tree; ``exit_code`` is what the command line ends with."""

    exit_code = 1


class UserError(SlimlineError):
    """Raised where the user's input is wrong. Each problem says what, where, what exists and what to type."""

    exit_code = 2

    def __init__(self, *problems: str) -> None:
        self.problems: Sequence[str] = problems
        super().__init__("\n".join(problems))


class Skipped(SlimlineError):
    """Raised where something does not apply here; the message is the reason that the row shows."""


class BackendUnavailable(Skipped):
    """Raised where a runtime, provider or device is missing. Backends raise this and never fall back."""


class Unchanged(Skipped):
    """Raised by a stage that has nothing to do with its model; the message is the reason. Its chain goes on with the
    model."""


class NoExamples(Skipped):
    """Raised where a data set has no examples for a split: a stage that reads it is skipped, and the rest goes on."""


class StageFailed(SlimlineError):
    """Raised where a stage could not build its output, or the output did not pass its check."""


class Misnamed(StageFailed):
    """Raised where a stage's field names something that the model does not have; the message tells what it has."""


class WorkerFailed(SlimlineError):
    """Raised where a measuring process reported an error or died; the message is the reason."""


class CorruptEntry(SlimlineError):
    """Raised where a stored artifact's bytes are not the ones that were written."""


class OutOfSpace(SlimlineError):
    """Raised where the disk is full; the message names the path."""


class Unreachable(SlimlineError):
    """Raised where a server does not answer, or refuses what is asked; the message names its address."""


class VerificationFailed(SlimlineError):
    """Raised where a deploy bundle or a self-test did not pass."""


def first_line(error: BaseException) -> str:
    """A library's error in one line: its type and its cause (``pipeline.errors.reasons``)."""
    return cause(error)


def reason_of(error: BaseException) -> str:
    """The error in one line (``first_line``), with a hint where the runtime lacked memory, which each runtime says in
    words of its own, and where an embedding lacks a row. An error that a library did not foresee has no words, and is
    told as that."""
    reason = cause(error)
    said = text_of(error).lower()
    if isinstance(error, MemoryError) or any(words in said for words in _NO_MEMORY):
        return f"out of memory (smaller batch_sizes need less): {reason}"
    if _OUTSIDE_TABLE in said:
        return (
            f"an embedding of the model has fewer rows than the data's whole numbers name ({reason}): give it other "
            "data, or type data.below=ROWS where data=random draws them"
        )
    library = unforeseen_in(error)
    return reason if library is None else f"{library} did not foresee this model ({reason})"


@contextmanager
def reasoned(fail: Callable[[SlimlineError], object]) -> Iterator[None]:
    """Turn an error inside the block into the reason of one part, which ``fail`` is told; the other parts go on.

    ``fail`` is told of an unforeseen error as a WorkerFailed, and its whole text goes to the log. Wrong input and a
    full disk pass, because they end the run.
    """
    try:
        yield
    except (Skipped, StageFailed, WorkerFailed) as error:
        fail(error)
    except SlimlineError:
        raise
    except Exception as error:
        if is_full(error):
            raise
        logger.debug("%s", traced(error))
        fail(WorkerFailed(reason_of(error)))


@contextmanager
def keeping(problems: list[str]) -> Iterator[None]:
    """Add the problems of a UserError inside the block to ``problems``, so that others are found too."""
    try:
        yield
    except UserError as error:
        problems.extend(problem for problem in error.problems if problem not in problems)


@contextmanager
def reporting_disk(path: Path, advice: str = _RUN_ADVICE, room: str = "") -> Iterator[None]:
    """Turn the operating system's errors of files at ``path``, or of a full disk, into one line that says what to type;
    for a full disk it says how to make ``room``, too. Errors of other files pass."""
    try:
        yield
    except OSError as error:
        of_files = error.errno in _OF_FILES and (error.filename is None or _is_near(error.filename, path))
        if is_full(error) or error.errno in _TOO_MANY or of_files:
            raise in_words(error, path, advice, room) from error
        raise


def reporting_temporary() -> AbstractContextManager[None]:
    """Report disk errors of temporary files, as ``reporting_disk`` does."""
    return reporting_disk(Path(tempfile.gettempdir()), TEMPORARY_ADVICE)


@contextmanager
def reporting_folder() -> Iterator[None]:
    """Report disk errors as ``reporting_disk`` does, for a folder that only its maker knows: the run's."""
    try:
        yield
    except OSError as error:
        if error.filename is None or not (is_full(error) or error.errno in _OF_FILES):
            raise
        raise in_words(error, Path(str(error.filename)), _RUN_ADVICE) from error


def require_space(path: Path, size_bytes: int, advice: str = _RUN_ADVICE) -> None:
    """Raise OutOfSpace where the disk of a folder has less room than this, before any work is done."""
    free = shutil.disk_usage(path).free
    if free < size_bytes:
        raise OutOfSpace(f"{free / 1e6:.1f} MB are free at {path}, and {size_bytes / 1e6:.0f} MB are needed: {advice}")


def in_words(error: OSError, path: Path, advice: str, room: str = "") -> SlimlineError:
    """The line for an error of files at ``path``: OutOfSpace, or UserError for what may not be read or written."""
    if error.errno in _TOO_MANY:
        return SlimlineError("too many files are open at once: type 'ulimit -n 1024' and start it again")
    if is_full(error):
        temporary = Path(tempfile.gettempdir())
        if _is_temporary(error, temporary, path):
            return OutOfSpace(f"no space left for temporary files in {_place_of(temporary)}: {TEMPORARY_ADVICE}")
        return OutOfSpace(f"no space left to write {path}: {room}{advice}")
    if error.errno == errno.ENOENT and not path.exists():
        return SlimlineError(f"{path} does not exist, or was removed meanwhile: start it again, or {advice}")
    return UserError(f"{error.filename or path}: {(error.strerror or str(error)).lower()}: {advice}")


def is_full(error: BaseException) -> bool:
    """Whether the error says that the disk is full; NumPy gives the bytes that it has written, not the system's
    number."""
    if not isinstance(error, OSError):
        return False
    return error.errno in DISK_FULL or (error.errno is None and _SHORT_WRITE in str(error))


def _place_of(temporary: Path) -> Path:
    return temporary.parent if temporary.name.startswith(TEMPORARY_PREFIX) else temporary


def _is_temporary(error: OSError, temporary: Path, path: Path) -> bool:
    """Whether it is the temporary files' disk that is full. What failed to be written has a name only at times."""
    if error.filename is not None or path == temporary:
        return path == temporary or _is_near(error.filename, temporary)
    return _is_short(temporary) and not _is_short(path)


def _is_short(path: Path) -> bool:
    existing = next((folder for folder in (path, *path.absolute().parents) if folder.exists()), None)
    return existing is not None and shutil.disk_usage(existing).free < _SHORT_BYTES


def _is_near(name: str | bytes | int, path: Path) -> bool:
    """Whether a file lies below a path, or is one that the path leads through."""
    if not isinstance(name, str):
        return False
    file, place = Path(name).absolute(), path.absolute()
    return file.is_relative_to(place) or place.is_relative_to(file)
