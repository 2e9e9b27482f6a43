"""Published data sets of the Hugging Face hub, fetched into a folder of plain files: what was named, and no more."""

import re
from collections.abc import Iterable
from pathlib import Path

from octomed_jax import places
from octomed_jax.errors import TryAgain, UserError
from octomed_jax.progress import say
from octomed_jax.questions.adapter import Adapter

MARK = "hf"  # --input=hf, or hf:OWNER/NAME, or hf:OWNER/NAME@REVISION
_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def is_hub(source: str) -> bool:
    """Return whether an input is on the hub."""
    return source == MARK or source.startswith(f"{MARK}:")


def fetch(adapter: Adapter, source: str, splits: Iterable[str]) -> Path:
    """Fetch the files of some splits, and the images beside them; return the folder with them.

    What is there already is not fetched again. A token is taken from where the hub's own library looks for it.

    Args:
        adapter: names the set, where ``source`` does not, and its files.
        source: ``hf``, ``hf:OWNER/NAME`` or ``hf:OWNER/NAME@REVISION``.
        splits: published names.

    Raises:
        UserError: there is no such set, or it may not be read.
        TryAgain: the hub cannot be reached.
    """
    name, _, revision = (source.partition(":")[2] or adapter.hub).partition("@")
    if not name:
        raise UserError(f"{adapter.name} is not on the hub as far as is known; get it from {adapter.home}")
    if not _ID.fullmatch(name) or ".." in revision:
        raise UserError(f"--input={source} names no data set of the hub; write hf:OWNER/NAME")
    patterns = [pattern for split in splits for pattern in adapter.splits[split].files]
    patterns += [*adapter.archives, *(f"{folder}/**" for folder in adapter.image_folders if folder)]
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    kept = places.cache_folder() / "hub" / name.replace("/", "--")
    try:
        # A folder for each commit: files of two would look like one set.
        commit = str(HfApi().dataset_info(name, revision=revision or None).sha)
        folder = kept / commit
        say(f"fetching {name} from the hub into {folder}")
        snapshot_download(name, repo_type="dataset", revision=commit, allow_patterns=patterns, local_dir=folder)
    except GatedRepoError as error:
        raise UserError(f"{name} is gated; accept its terms on its page, and give HF_TOKEN a token of yours") from error
    except RevisionNotFoundError as error:
        raise UserError(f"{name} has no revision {revision!r}; name one that it has") from error
    except RepositoryNotFoundError as error:
        raise UserError(f"the hub has no data set {name!r}, or HF_TOKEN may not read it") from error
    except Exception as error:  # of whichever HTTP library it uses
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise TryAgain(
            f"{name} cannot be fetched ({first}); run it again, or download it and give its folder"
        ) from error
    return folder
