"""Every error IRSS raises on purpose.

::

    IrssError
    ├── InputError                 the caller handed in something unusable
    │   ├── UnsupportedFormatError     not a kind of file we read or write
    │   ├── CorruptMediaError          the right kind, but damaged, truncated or empty
    │   ├── LimitExceededError         over a configured limit
    │   └── InvalidOptionError         an option has an impossible value
    ├── OutputExistsError          the target file is there and overwriting was not asked for
    ├── ModelError
    │   ├── UnknownModelError          no model has that name
    │   ├── WeightsUnavailableError    the weights are nowhere to be had right now
    │   ├── WeightsCorruptError        the weights' bytes are not what they must be
    │   └── UnsupportedCheckpointError a checkpoint of an architecture we do not run
    ├── ResourceError              memory or another resource ran out, after every fallback
    │   └── StoreUnavailableError      a store cannot be read or written right now
    ├── NotFoundError              there is nothing of that id for this caller
    ├── NotSignedInError           no session, or one that is over
    ├── RateLimitedError           too much in too short a time
    ├── ConflictError              somebody else changed it first
    │   └── IllegalTransitionError     not a step that its state allows
    ├── MailError                  a mail was not handed over
    │   ├── MailDeferredError          surely not taken; later it may be
    │   ├── MailRefusedError           surely not taken, and never will be
    │   └── MailUncertainError         nobody knows whether it was taken
    └── CancelledError             the caller asked to stop

The message of each names the value, the limit and the remedy. ``code`` is stable and machine-readable,
``http_status`` is what an HTTP boundary answers, ``retryable`` says whether the same call may succeed later.
"""

from __future__ import annotations

from typing import ClassVar


class IrssError(Exception):
    """Base of every error raised on purpose; anything else that escapes is a bug."""

    code: ClassVar[str] = "error"
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False


class InputError(IrssError):
    """The caller handed in something unusable."""

    code = "bad-input"
    http_status = 400


class UnsupportedFormatError(InputError):
    """Not a kind of file we read or write."""

    code = "unsupported-format"
    http_status = 415


class CorruptMediaError(InputError):
    """The right kind of file, but damaged, truncated or empty."""

    code = "corrupt-media"
    http_status = 422


class LimitExceededError(InputError):
    """Over a configured limit; the message names the setting that moves it."""

    code = "limit-exceeded"
    http_status = 413


class InvalidOptionError(InputError):
    """An option has an impossible value."""

    code = "invalid-option"
    http_status = 422


class OutputExistsError(IrssError):
    """The target file is there and overwriting was not asked for."""

    code = "output-exists"
    http_status = 409


class ModelError(IrssError):
    """A model cannot be had or used."""

    code = "model-error"


class UnknownModelError(ModelError):
    """No model has that name."""

    code = "unknown-model"
    http_status = 404


class WeightsUnavailableError(ModelError):
    """The weights are nowhere to be had right now."""

    code = "weights-unavailable"
    http_status = 503
    retryable = True


class WeightsCorruptError(ModelError):
    """The weights' bytes are not what they must be."""

    code = "weights-corrupt"
    http_status = 422


class UnsupportedCheckpointError(ModelError):
    """A checkpoint of an architecture we do not run."""

    code = "unsupported-checkpoint"
    http_status = 422


class ResourceError(IrssError):
    """Memory or another resource ran out, after every fallback."""

    code = "out-of-resources"
    http_status = 503
    retryable = True


class StoreUnavailableError(ResourceError):
    """A store cannot be read or written right now."""

    code = "store-unavailable"


class NotFoundError(IrssError):
    """There is nothing of that id for this caller; alike for what never was and for what is somebody else's."""

    code = "not-found"
    http_status = 404


class NotSignedInError(IrssError):
    """No session, or one that is over."""

    code = "not-signed-in"
    http_status = 401


class RateLimitedError(IrssError):
    """Too much in too short a time; ``retry_after_s`` says when it is worth another try."""

    code = "rate-limited"
    http_status = 429
    retryable = True

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ConflictError(IrssError):
    """Somebody else changed it first."""

    code = "conflict"
    http_status = 409
    retryable = True


class IllegalTransitionError(ConflictError):
    """Not a step that its state allows."""

    code = "illegal-transition"
    retryable = False


class MailError(IrssError):
    """A mail was not handed over."""

    code = "mail-error"
    http_status = 502


class MailDeferredError(MailError):
    """Surely not taken; later it may be."""

    code = "mail-deferred"
    retryable = True


class MailRefusedError(MailError):
    """Surely not taken, and never will be."""

    code = "mail-refused"


class MailUncertainError(MailError):
    """Nobody knows whether it was taken."""

    code = "mail-uncertain"


class CancelledError(IrssError):
    """The caller asked to stop."""

    code = "cancelled"
    http_status = 499
