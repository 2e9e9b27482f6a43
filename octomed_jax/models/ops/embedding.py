"""Rows of a table that is divided by features: the table stays where it is, ids and features travel.

Legend: V vocabulary, D features, B rows, L tokens, N devices that share the table.
"""

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Int

from octomed_jax.models.mesh import PARTS, STATE_AXES
from octomed_jax.models.ops.sharding import dividing, each_device, rows, size_of


def looked_up(table_VD: Float[Array, "V D"], ids_BL: Int[Array, "B L"]) -> Float[Array, "B L D"]:
    """Return the rows of the table that the ids name.

    On a mesh every device has some features of all rows. It looks up its features of its neighbours' tokens too, and
    they exchange what they found: as many bytes as the result has, where the table itself would be a gigabyte.
    """
    B, L = ids_BL.shape
    row, sequence = rows(B), dividing("sequence", L)
    whole_rows = sequence is None and size_of("sequence") > 1
    if size_of(*PARTS) == 1 or table_VD.shape[1] % size_of(*PARTS) or row is None or whole_rows:
        return table_VD[ids_BL]

    def of_device(table: Array, ids: Array) -> Array:
        everyone = jax.lax.all_gather(ids, STATE_AXES)
        found_NBLD = table[everyone]
        mine_NBLD = jax.lax.all_to_all(found_NBLD, STATE_AXES, 0, 0)
        if size_of("tensor") > 1:
            mine_NBLD = jnp.moveaxis(jax.lax.all_gather(mine_NBLD, "tensor"), 0, -2)
        return jnp.moveaxis(mine_NBLD, 0, 2).reshape(*ids.shape, -1)

    place = PartitionSpec(row, sequence)
    return each_device(of_device, PartitionSpec(None, PARTS), place, out=place)(table_VD, ids_BL)
