"""What Kubernetes does to the words of a container before it starts them."""

from collections.abc import Mapping


def filled_in(text: str, variables: Mapping[str, str]) -> str:
    """Return what becomes of a word: $$ is $, and $(NAME) the value of a variable that the container has."""
    found = ""
    while text:
        if text.startswith("$$"):
            found, text = found + "$", text[2:]
        elif text.startswith("$(") and ")" in text and (name := text[2 : text.index(")")]) in variables:
            found, text = found + variables[name], text[text.index(")") + 1 :]
        else:
            found, text = found + text[0], text[1:]
    return found
