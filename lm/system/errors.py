"""The exception whose message is written for the user, and the test for out-of-memory errors."""


class UserError(Exception):
    """Raised for a mistake that the user can correct. The message says what is wrong, where, and what to do."""


def out_of_memory(error: BaseException) -> bool:
    """Whether the error means that there is not enough memory, in the machine or on the GPU."""
    said = ("not enough memory", "can't allocate memory", "out of memory", "Storage size calculation overflowed")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in said)
    )
