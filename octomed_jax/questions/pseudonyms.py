"""What stands for the number of a patient, a study or an image: a hash of it, salted by the source.

A pseudonym, and no anonymity. The numbers of a set are few (CheXpert's patients are patient00001 to patient64540), so
whoever hashes them all learns which is which. It keeps numbers out of ids, cards and logs, where they would be read and
searched for; what a source's terms demand of its patients' data, they demand of the pseudonyms too.
"""

from octomed_jax import storage

DIGITS = 24  # 96 bits of SHA-256: two numbers of a billion would share a pseudonym with a chance of 1 in 10^11


def pseudonym(source: str, number: str) -> str:
    """Return what stands for a number of a source, the same in every build; no anonymity, see above.

    Args:
        source: whose number it is; two adapters of one set give the same.
        number: of a patient, a study or an image, as the set spells it; nothing stands for nothing.
    """
    return storage.sha256_bytes(f"{source}:{number}".encode())[:DIGITS] if number else ""
