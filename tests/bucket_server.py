"""The emulator of Google's storage, with a header that the real one sends and it does not: TensorStore asks for it.

python -m tests.bucket_server start --host=127.0.0.1 --port=PORT --in-memory
"""

import sys
from typing import Any

from gcp_storage_emulator.handlers import objects

download = objects.download


def with_generation(request: Any, response: Any, storage: Any, *args: Any, **kwargs: Any) -> None:
    """Answer as before, and say which generation of the object it is."""
    download(request, response, storage, *args, **kwargs)
    if response.status.value < 300:
        place = request.params["bucket_name"], request.params["object_id"]
        response["x-goog-generation"] = storage.get_file_obj(*place)["generation"]


objects.download = with_generation

if __name__ == "__main__":
    # Its table of routes is made when it is imported.
    from gcp_storage_emulator.__main__ import main

    sys.exit(main())
