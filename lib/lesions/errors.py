"""What can be wrong with what a user gives. Each message says what was wrong, the value, what is allowed, and what to do."""


class InputError(ValueError):
    """The input cannot be used as it is: the message names the value, what is allowed, and what to do."""


class OutsideVolumeError(InputError):
    """A point or a lesion lies outside the volume, or where there is no tissue."""


class NotCTError(InputError):
    """A file or a series is no usable CT."""


class UnknownClassError(InputError):
    """A class name is not in the configured class list."""


class LeakError(InputError):
    """A run would be tested on a patient that its data or its generator has seen."""


class UnfitError(InputError):
    """A generator copies training patients, so its images may not train anything."""


class NotFoundError(LookupError):
    """Nothing is stored under that name."""


class NoModelError(RuntimeError):
    """No trained model serves this task. The server never answers with random weights."""


class IntegrityError(RuntimeError):
    """A stored product does not match the hash in its manifest, so it is not used."""
