"""The settings of a training run: one flat table, checked whole before anything runs."""

import hashlib
import json

from msgspec.structs import force_setattr

from secagg.checks import check_choice
from secagg.runs.consistency import check_settings
from secagg.runs.derived import DerivedSettings
from secagg.runs.fields import SettingFields
from secagg.runs.settings import describe


class TrainingConfig(DerivedSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that decides a run: equal settings give equal runs, apart from keys, masks and noise.

    The settings are the fields of `secagg.runs.fields.SettingFields`, whose annotations describe them.

    Raises:
        ConfigurationError: A setting is out of range, or settings do not fit together.
    """

    def __post_init__(self) -> None:
        for setting in describe(SettingFields):  # Made in Python, a setting may be the text that a file would have.
            found = getattr(self, setting.name)
            if setting.enumeration is not None and not (found is None and setting.default is None):
                value = check_choice(setting.name, found, setting.enumeration, among=setting.choices)
                force_setattr(self, setting.name, value)
        check_settings(self)

    def as_toml(self) -> str:
        """Return the settings as TOML, which `secagg.runs.parsing.parse` reads back to equal ones."""
        lines = []
        for name in self.__struct_fields__:
            match getattr(self, name):
                case None:
                    continue
                case bool() | str() as value:
                    text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
                    lines.append(f"{name} = {text}")
                case value:
                    lines.append(f"{name} = {value!r}")
        return "\n".join(lines) + "\n"

    def digest(self) -> bytes:
        """Return 32 bytes that name these settings, all of them."""
        return hashlib.sha256(self.as_toml().encode()).digest()
