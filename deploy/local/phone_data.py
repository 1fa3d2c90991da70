"""Writes the data about telephone numbers with which booking-service is built and tested.

The data are the results of libphonenumber (PyPI `phonenumbers`) for its own example numbers, and the
country of each IANA time zone (Unicode CLDR, from PyPI `babel`; names of PyPI `tzdata`). To renew them:

    python3 -m venv /tmp/phone-data && /tmp/phone-data/bin/pip install phonenumbers babel tzdata
    /tmp/phone-data/bin/python deploy/local/phone_data.py
"""

from importlib import metadata, resources
from pathlib import Path

import phonenumbers
from babel.core import get_global
from phonenumbers import PhoneNumberFormat, PhoneNumberType

SERVICE = Path(__file__).parents[2] / "booking-service"
REFUSED = "-"
# These names are links to zones of one country, but most users of the names are in another country.
ABBREVIATIONS = {"EST", "MST", "HST"}


def write(path: Path, source: str, columns: str, rows) -> None:
    lines = [f"# {source}; renewed by deploy/local/phone_data.py", f"# {columns}"]
    lines += ["\t".join(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read(text: str, region: str | None) -> str:
    """The number that libphonenumber reads, in E.164. A number with + is read without a region."""
    try:
        number = phonenumbers.parse(text, None if "+" in text else region)
    except phonenumbers.NumberParseException:
        return REFUSED
    if not phonenumbers.is_valid_number(number):
        return REFUSED
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def examples():
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for kind in (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE):
            number = phonenumbers.example_number_for_type(region, kind)
            if number is not None:
                yield region, number


def numbers():
    """Each example in three forms, all of which are read as the first. Many regions have one number for both kinds."""
    rows = []
    for region, number in examples():
        e164, international, national = (
            phonenumbers.format_number(number, form)
            for form in (PhoneNumberFormat.E164, PhoneNumberFormat.INTERNATIONAL, PhoneNumberFormat.NATIONAL)
        )
        assert {read(text, region) for text in (e164, international, national)} == {e164}
        row = (region, e164, international, national)
        if row not in rows:
            rows.append(row)
    return rows


def digits(text: str, zero: str) -> str:
    return "".join(chr(ord(zero) + int(c)) if c in "0123456789" else c for c in text)


def spellings():
    """One example of each region in other spellings, with the number that is read from each."""
    seen = set()
    for region, e164, international, national in numbers():
        if region in seen:
            continue
        seen.add(region)
        number = phonenumbers.parse(e164)
        significant = phonenumbers.national_significant_number(number)
        for text in (
            digits(national, "０"),
            digits(international, "٠"),
            f"+{number.country_code} (0){significant}",
            f"00 {number.country_code} {significant}",
        ):
            yield region, text, read(text, region)


def zone_countries():
    territories, aliases = get_global("zone_territories"), get_global("zone_aliases")
    for zone in sorted(resources.files("tzdata").joinpath("zones").read_text().split()):
        country = territories.get(zone) or territories.get(aliases.get(zone, ""))
        if country in phonenumbers.SUPPORTED_REGIONS and zone not in ABBREVIATIONS:
            yield zone, country


def main() -> None:
    rules = f"libphonenumber's metadata, as of PyPI phonenumbers {metadata.version('phonenumbers')}"
    write(
        SERVICE / "testdata/phone_numbers.tsv",
        f"Example numbers, mobile and fixed line, of {rules}",
        "region, E.164, international, national",
        numbers(),
    )
    write(
        SERVICE / "testdata/phone_spellings.tsv",
        f"What libphonenumber reads, by {rules}",
        f"region, text, E.164 or {REFUSED} where it is no valid number",
        spellings(),
    )
    write(
        SERVICE / "src/domain/phone_region/zone_countries.tsv",
        f"The country of each time zone: Unicode CLDR, as of PyPI babel {metadata.version('babel')}, "
        f"for the names of PyPI tzdata {metadata.version('tzdata')}",
        "zone, country of ISO 3166",
        zone_countries(),
    )


if __name__ == "__main__":
    main()
