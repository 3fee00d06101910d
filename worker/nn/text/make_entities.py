#!/usr/bin/env python3
"""Writes worker/nn/text/entities.c: the names of HTML's character references and what they mean.

    python3 worker/nn/text/make_entities.py
The names are those of the HTML standard (13.5, named character references), which Python's
html.entities carries; clean_unescape does with them what Python's html.unescape does.
"""
import html.entities
import pathlib

HEAD = """/* entities.c - HTML's named character references, sorted by name; of make_entities.py. */
#include "worker/nn/text/entities.h"

/* clang-format off */
const struct entity entities[] = {
"""
TAIL = """};
/* clang-format on */
const size_t entities_count = sizeof entities / sizeof *entities;
"""
SPECIAL = {"\n": "\\n", "\t": "\\t", '"': '\\"', "\\": "\\\\"}


def literal(text):
    def one(c):
        if c in SPECIAL:
            return SPECIAL[c]
        if ord(c) < 127:
            return c
        return f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}"

    return '"' + "".join(one(c) for c in text) + '"'


def main():
    lines, line = [], ""
    for name, value in sorted(html.entities.html5.items()):
        piece = "{" + literal(name) + ", " + literal(value) + "},"
        if len(line) + len(piece) + 1 > 100:
            lines.append(line)
            line = piece
        else:
            line += (" " if line else "") + piece
    lines.append(line)
    out = pathlib.Path(__file__).with_name("entities.c")
    out.write_text(HEAD + "\n".join(lines) + "\n" + TAIL)


main()
