"""The one exception whose message is meant for the person at the keyboard; and what libraries say of lacking memory."""


class UserError(Exception):
    """Something the user can put right. The message names what is wrong, where, and what to do."""


def out_of_memory(error: BaseException) -> bool:
    """Whether more memory was asked for than there is, of the processor's or a card's."""
    said = ("not enough memory", "can't allocate memory", "out of memory", "Storage size calculation overflowed")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in said)
    )
