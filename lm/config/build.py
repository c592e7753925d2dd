"""Builds an object from the part of the configuration that describes it, after checking keys and values."""

from __future__ import annotations

import importlib
import inspect
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, Union

from lm.config.conf_folder import CONF
from lm.config.unknown_key import chosen_with_slash, lacking
from lm.system.bounds import annotations_of, check_bounds
from lm.system.errors import UserError

TARGET = "_target_"
MISSING: Any = "???"  # as OmegaConf writes it


def build(node: Mapping[str, Any], path: str, available: Mapping[str, Any] | None = None) -> Any:
    """Call the class or function named in `node["_target_"]`; all other keys of `node` are its arguments.

    Before this, check a configuration that comes from a checkpoint with `lm.config.trust`.

    Args:
        node: a part of the configuration.
        path: the node's place in the configuration, for messages.
        available: objects of the running program by name (a vocabulary's size, a folder). If the class or function has
            an argument of that name, it gets the object.

    Raises:
        UserError: for a key that the class or function does not accept, or a value that does not fit the annotation.
    """
    target, settings, extra = _resolved(node, path, available or {})
    hints = annotations_of(target)
    for key, value in settings.items():
        if isinstance(value, Mapping) and TARGET in value:
            settings[key] = build(value, f"{path}.{key}", available)
            if not fits(settings[key], hints.get(key, Any)):
                raise UserError(
                    f"{path}.{key}.{TARGET}: {value[TARGET]} does not build the expected type: {describe(hints[key])}"
                )
    return target(**settings, **extra)


def check(node: Mapping[str, Any], path: str, available: Iterable[str] = ()) -> None:
    """Raise UserError if `build` would find a mistake in `node`, but build nothing.

    So mistakes are reported before a long wait. `available`: names of the objects that `build` will get.
    """
    _, settings, _ = _resolved(node, path, dict.fromkeys(available))
    for key, value in settings.items():
        if isinstance(value, Mapping) and TARGET in value:
            check(value, f"{path}.{key}", available)


def _resolved(
    node: Mapping[str, Any], path: str, available: Mapping[str, Any]
) -> tuple[Callable[..., Any], dict[str, Any], dict[str, Any]]:
    """The class or function that a node describes, its settings, and the `available` objects among its arguments.

    Nodes inside this node stay unchanged.
    """
    if not isinstance(node, Mapping) and not (CONF / path.replace(".", "/")).is_dir():
        raise UserError(f"{path}={node}: {path} holds settings; set one of them: {path}.KEY=VALUE")
    if not isinstance(node, Mapping) or TARGET not in node:
        raise UserError(f"{path} has no {TARGET}; choose one of the group's options, as in {path}=NAME")
    target = _find(str(node[TARGET]), path)
    variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)  # not settings: they have no names
    signature, hints = inspect.signature(target), annotations_of(target)
    parameters = {name: parameter for name, parameter in signature.parameters.items() if parameter.kind not in variadic}
    settings = {str(key): value for key, value in node.items() if key != TARGET}
    if unknown := [key for key in settings if key not in parameters]:
        raise UserError(lacking(path, unknown, [name for name in parameters if name not in available]))
    for key, value in settings.items():
        if value == MISSING:
            raise UserError(f"{path}.{key} is missing; set it on the command line: {path}.{key}=...")
        settings[key] = _value(value, hints.get(key, Any), f"{path}.{key}")
    check_bounds(path, hints, settings)
    extra = {name: thing for name, thing in available.items() if name in parameters and name not in settings}
    for key, parameter in parameters.items():
        if parameter.default is parameter.empty and key not in settings and key not in extra:
            raise UserError(f"{path}.{key} is missing; set it on the command line: {path}.{key}=...")
    return target, settings, extra


def _value(value: Any, hint: Any, path: str) -> Any:
    if isinstance(value, Mapping) and TARGET in value:
        return value
    if not fits(value, hint):
        *group, last = path.split(".")
        if isinstance(value, str) and (CONF / "/".join(group) / last).is_dir():
            raise UserError(chosen_with_slash(path, value))
        if value is None and (CONF / "/".join(group) / last).is_dir():
            raise UserError(f"{path} must not be null; {chosen_with_slash(path, 'NAME')}")
        if value is None:
            raise UserError(f"{path} must not be null; set it on the command line: {path}=...")
        raise UserError(f"{path} must be {describe(hint)}; got {value!r}")
    for number in value if isinstance(value, (list, tuple)) else [value]:
        if isinstance(number, float) and not math.isfinite(number):
            raise UserError(f"{path} must be a finite number; got {number}")
        if isinstance(number, int) and abs(number) >= 2**63:
            raise UserError(f"{path} must fit into 64 bits; got {number}")
    if typing.get_origin(plain(hint)) is tuple:  # YAML has only lists
        return tuple(value)
    return float(value) if plain(hint) is float else value


def _find(name: str, path: str) -> Callable[..., Any]:
    module_name, _, attribute = name.rpartition(".")
    unknown = UserError(f"{path}.{TARGET}: there is no {name}; name a class or function as package.module.Name")
    try:
        target = getattr(importlib.import_module(module_name), attribute)
    except (AttributeError, ValueError):
        raise unknown from None
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise unknown from None
        package = str(error.name).partition(".")[0]
        raise UserError(
            f"{path}.{TARGET}: {module_name} cannot be imported: {error}; if it is a package: pip install {package}"
        ) from error
    except (ImportError, SyntaxError) as error:
        raise UserError(f"{path}.{TARGET}: {module_name} cannot be imported: {error}") from error
    if inspect.isabstract(target):
        lacking = ", ".join(sorted(target.__abstractmethods__))
        raise UserError(f"{path}.{TARGET}: {name} cannot be built: it does not define {lacking}")
    if not callable(target):
        raise UserError(f"{path}.{TARGET}: {name} is not a class or function that can be built from a configuration")
    found: Callable[..., Any] = target
    return found


def plain(hint: Any) -> Any:
    """A type annotation without its bounds; `lm.system.bounds` checks those."""
    return typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Annotated else hint


def fits(value: Any, hint: Any) -> bool:
    """Whether a value from YAML fits a type annotation. Always true for an annotation that cannot be checked."""
    hint = plain(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return any(fits(value, argument) for argument in arguments)
    if origin is Literal:
        return any(value == argument and type(value) is type(argument) for argument in arguments)
    if origin in (list, tuple, Sequence):
        if not isinstance(value, (list, tuple)):
            return False
        if origin is tuple and arguments and arguments[-1] is not Ellipsis:
            return len(value) == len(arguments) and all(map(fits, value, arguments))
        return all(fits(item, arguments[0]) for item in value) if arguments else True
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint in (bool, str):
        return isinstance(value, hint)
    if hint in (None, types.NoneType):
        return value is None
    if origin in (dict, Mapping):
        return isinstance(value, Mapping)
    # A library class, as in Lightning's signatures: no value from YAML is an instance of it.
    return hint is Any or not isinstance(hint, type) or isinstance(value, hint)


def describe(hint: Any) -> str:
    """Describe a type annotation in words, for error messages."""
    hint = plain(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(describe(argument) for argument in arguments)
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        return f"a list of {len(arguments)}: {', '.join(map(describe, arguments))}"
    if origin in (list, tuple, Sequence):
        return f"a list of {describe(arguments[0])}" if arguments else "a list"
    names: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    names |= {types.NoneType: "null", None: "null", timedelta: "a time as DD:HH:MM:SS"}
    return names.get(hint, getattr(hint, "__name__", str(hint)))
