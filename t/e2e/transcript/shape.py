"""Compares a JSON value with the shape it should have. The difference found first is raised as a Mismatch.

A shape is itself JSON. Keys must agree exactly in both directions and every element of every array is compared:

    42, 1.0, true, null    a value of that JSON type (an integer is not a real)
    "text"                 any string;  "=text" this string;  "~REGEX" a string that the expression matches as a whole
    "$NAME"                the value of a variable
    {"a": S, "b?": S}      an object with a, perhaps with b, and nothing else;  {"*": S} any keys
    {"%json": S}           a string that holds JSON of shape S;  {"%lines": [S...]}  a string of lines of JSON, and
                           {"%has-lines": [S...]} one with at least these
    {"%base64": S}         a string that decodes to text of shape S (itself a string shape, %json or %lines)
    {"%is": V}             exactly the value V;  {"%any": [S...]}  one of the shapes;  {"%number": 0} integer or real
    {"%all": S}            an array of one or more elements that all have shape S;  {"%has": [S...]}  an array in
                           which each of these shapes is found
    [S, T]                 an array of exactly these elements, in order
"""

import base64
import json
import re


class Mismatch(Exception):
    pass


def type_name(value):
    if value is None:
        return "null"
    return {bool: "boolean", int: "integer", float: "real", str: "string", list: "array", dict: "object"}[type(value)]


def short(value):
    text = json.dumps(value)
    return text if len(text) <= 200 else text[:200] + "..."


def require_type(where, shape_type, value):
    if type_name(value) != shape_type:
        raise Mismatch(f"{where}: expected {shape_type}, found {type_name(value)} {short(value)}")


def compare_string(where, shape, value, variables):
    if shape.startswith("$"):
        expected = variables[shape[1:]]
        if type(value) is not type(expected) or value != expected:
            raise Mismatch(f"{where}: expected {short(expected)} ({shape}), found {short(value)}")
        return
    require_type(where, "string", value)
    if shape.startswith("=") and value != shape[1:]:
        raise Mismatch(f"{where}: expected the text {shape[1:]!r}, found {value!r}")
    if shape.startswith("~") and not re.fullmatch(shape[1:], value, re.S):
        raise Mismatch(f"{where}: expected a text like {shape[1:]!r}, found {value!r}")


def compare_object(where, shape, value, variables):
    require_type(where, "object", value)
    if list(shape) == ["*"]:
        for key, member in value.items():
            compare(f"{where}.{key}", shape["*"], member, variables)
        return
    known = {key.rstrip("?"): member for key, member in shape.items()}
    missing = [key for key in shape if not key.endswith("?") and key not in value]
    extra = [key for key in value if key not in known]
    if missing or extra:
        raise Mismatch(f"{where}: missing keys {missing}, unexpected keys {extra} in {short(value)}")
    for key, member in value.items():
        compare(f"{where}.{key}", known[key], member, variables)


def compare_array(where, shape, value, variables):
    require_type(where, "array", value)
    if len(shape) != len(value):
        raise Mismatch(f"{where}: expected {len(shape)} elements, found {len(value)}: {short(value)}")
    for index, (element_shape, element) in enumerate(zip(shape, value)):
        compare(f"{where}[{index}]", element_shape, element, variables)


def matches(shape, value, variables):
    try:
        compare("", shape, value, variables)
        return True
    except Mismatch:
        return False


def compare_special(where, kind, inner, value, variables):
    if kind == "%any":
        if not any(matches(shape, value, variables) for shape in inner):
            raise Mismatch(f"{where}: none of {len(inner)} shapes fits {short(value)}")
    elif kind == "%is":
        if type(value) is not type(inner) or value != inner:
            raise Mismatch(f"{where}: expected exactly {short(inner)}, found {short(value)}")
    elif kind == "%number":
        if type_name(value) not in ("integer", "real"):
            raise Mismatch(f"{where}: expected a number, found {short(value)}")
    elif kind == "%all":
        require_type(where, "array", value)
        if not value:
            raise Mismatch(f"{where}: expected at least one element")
        compare_array(where, [inner] * len(value), value, variables)
    elif kind == "%has":
        require_type(where, "array", value)
        for shape in inner:
            if not any(matches(shape, element, variables) for element in value):
                raise Mismatch(f"{where}: no element like {short(shape)} in {short(value)}")
    else:
        require_type(where, "string", value)
        if kind == "%json":
            compare(where + "(json)", inner, json.loads(value), variables)
        elif kind in ("%lines", "%has-lines"):
            if value and not value.endswith("\n"):
                raise Mismatch(f"{where}: the last line does not end: {value!r}")
            lines = [json.loads(line) for line in value.splitlines()]
            compare(where + "(lines)", inner if kind == "%lines" else {"%has": inner}, lines, variables)
        elif kind == "%base64":
            compare(where + "(base64)", inner, base64.b64decode(value).decode(), variables)
        else:
            raise ValueError(f"unknown shape {kind}")


def compare(where, shape, value, variables):
    if isinstance(shape, str):
        compare_string(where, shape, value, variables)
    elif isinstance(shape, list):
        compare_array(where, shape, value, variables)
    elif isinstance(shape, dict):
        if len(shape) == 1 and next(iter(shape)).startswith("%"):
            ((kind, inner),) = shape.items()
            compare_special(where, kind, inner, value, variables)
        else:
            compare_object(where, shape, value, variables)
    else:
        require_type(where, type_name(shape), value)
