"""What the tests of image question sets share: tables and archives as they are published."""

import csv
import zipfile


def write_table(path, rows, delimiter=","):
    """Write a CSV or TSV table; the first row names its columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        table.writeheader()
        table.writerows(rows)
    return path


def write_zip(path, files):
    """Write an archive of name to bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def write_file(path, data):
    """Write bytes, and the folders above them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
