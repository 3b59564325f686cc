"""What a list of ListOps comes to, by a stack: the reference for what grows from arrays."""

import statistics


def evaluate(tokens):
    """The value; ValueError if a token is unknown, or brackets do not match."""
    functions = {
        "[MIN": min,
        "[MAX": max,
        "[MED": lambda values: int(statistics.median(values)),
        "[SM": lambda values: sum(values) % 10,
    }
    open_lists = [("", [])]
    for token in tokens:
        if token in functions:
            open_lists.append((token, []))
        elif token == "]" and len(open_lists) > 1 and open_lists[-1][1]:
            operator, values = open_lists.pop()
            open_lists[-1][1].append(functions[operator](values))
        elif len(token) == 1 and token in "0123456789":
            open_lists[-1][1].append(int(token))
        else:
            raise ValueError(f"'{token}' cannot stand there")
    if len(open_lists) != 1 or len(open_lists[0][1]) != 1:
        raise ValueError("brackets do not match, or it is not one list")
    return open_lists[0][1][0]
