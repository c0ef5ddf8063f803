"""Option values that are lists, as QEMU writes them: words with commas between them; ',,' is a comma in a word."""
import re


def comma_words(text: str) -> list[str]:
    """The words; none of them is empty."""
    return [word.replace(',,', ',') for word in re.findall(r'(?:[^,]|,,)+', text)]
