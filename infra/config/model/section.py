"""What every section of the file has in common, and the short ways to write one."""

from typing import Any

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic.alias_generators import to_camel


class Section(BaseModel):
    """Unknown keys are errors, values do not change, and no message repeats what the file holds."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        alias_generator=to_camel,
        use_attribute_docstrings=True,
        validate_default=False,
    )


def _empty_is_default(value: Any) -> Any:
    """`everyone:` with nothing behind it means the defaults, as `everyone: {}` does."""
    return {} if value is None else value


EmptyIsDefault = BeforeValidator(_empty_is_default)


def switch(value: Any) -> Any:
    """`chat: true` is short for `chat: {}`, and `chat: false` for leaving it out."""
    if value is True:
        return {}
    return None if value is False else value


SwitchInput = BeforeValidator(switch, json_schema_input_type=bool | dict[str, Any] | None)
