"""What is saved comes back, on any mesh; what is damaged is put aside, and what is not finite is never saved."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from octomed_jax.checkpoints.checksum import checksums
from octomed_jax.checkpoints.store import QUARANTINE, CheckpointStore
from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.models.mesh import make_mesh, parameter_shardings

MESHES = [{"data": 1, "fsdp": -1}, {"data": 4, "fsdp": 2}, {"data": -1, "fsdp": 1}]


def state(value=0.0, sizes=MESHES[0]):
    rng = np.random.default_rng(0)
    tree = {"text": {"layers": {"q": {"kernel": rng.normal(size=(2, 16, 8)).astype(np.float32) + value}}}}
    tree["text"]["embedding"] = rng.normal(size=(24, 8)).astype(jnp.bfloat16)
    mesh = make_mesh(sizes)
    everywhere = NamedSharding(mesh, PartitionSpec())
    placed = jax.device_put(tree, parameter_shardings(mesh, tree))
    return {"parameters": placed, "step": jax.device_put(jnp.int32(3), everywhere)}


def abstract(sizes=MESHES[0]):
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), state(0, sizes)
    )


def same(one, other):
    return jax.tree.all(jax.tree.map(lambda a, b: np.array_equal(np.asarray(a), np.asarray(b)), one, other))


def saved(folder, steps, **options):
    store = CheckpointStore(folder, keep=options.pop("keep", 3), **options)
    for step in steps:
        store.save(step, state(step), "plan")
    store.close()
    return store


@pytest.mark.parametrize("sizes", MESHES)
def test_the_newest_comes_back_on_any_mesh(tmp_path, sizes):
    saved(tmp_path / "c", [2, 4])
    store = CheckpointStore(tmp_path / "c", keep=3)
    step, found = store.restore(abstract(sizes), "plan")
    assert step == 4
    assert same(found, state(4))
    with pytest.raises(UserError, match="another plan of rows"):
        store.restore(abstract(), "other")
    store.close()


def test_without_a_checkpoint_there_is_nothing(tmp_path):
    store = CheckpointStore(tmp_path / "c", keep=1)
    assert store.restore(abstract(), "plan") is None
    store.close()


def damage(folder):
    """Overwrite the middle of every data file."""
    for path in folder.rglob("d/*"):
        data = bytearray(path.read_bytes())
        middle = len(data) // 2
        data[middle : middle + 8] = bytes(8 * [0xA5])
        path.write_bytes(data)


@pytest.mark.parametrize("how", ["bytes", "metadata", "gone"])
def test_a_damaged_one_is_put_aside_and_the_one_before_it_taken(tmp_path, how, capfd):
    saved(tmp_path / "c", [2, 4])
    newest = tmp_path / "c" / "4"
    if how == "bytes":
        damage(newest)
    elif how == "metadata":
        (newest / "plan" / "metadata").write_text("{")
    else:
        for path in (newest / "state").rglob("manifest.ocdbt"):
            path.unlink()
    store = CheckpointStore(tmp_path / "c", keep=3)
    step, found = store.restore(abstract(), "plan")
    assert step == 2
    assert same(found, state(2))
    assert (tmp_path / QUARANTINE / "4").is_dir()
    assert "checkpoint 4 is damaged" in capfd.readouterr().err
    store.save(4, state(4), "plan")  # the run comes past that step again
    store.close()
    assert CheckpointStore(tmp_path / "c", keep=3).restore(abstract(), "plan")[0] == 4


def test_where_none_is_whole_the_run_stops(tmp_path):
    saved(tmp_path / "c", [2])
    damage(tmp_path / "c" / "2")
    store = CheckpointStore(tmp_path / "c", keep=3)
    with pytest.raises(StopAndLook, match="none of the checkpoints"):
        store.restore(abstract(), "plan")


def test_what_is_not_finite_is_never_saved(tmp_path):
    store = saved(tmp_path / "c", [2])
    store = CheckpointStore(tmp_path / "c", keep=3)
    with pytest.raises(StopAndLook, match="not finite after step 4"):
        store.save(4, state(np.nan), "plan")
    assert store.steps == [2]
    store.close()


def test_the_newest_the_periodic_and_the_good_one_stay(tmp_path):
    store = CheckpointStore(tmp_path / "c", keep=2, keep_every=40)
    for step in range(10, 101, 10):
        store.save(step, state(step), "plan")
        if step == 50:
            store.call_good(50)
    store.close()
    assert CheckpointStore(tmp_path / "c", keep=2).steps == [40, 50, 80, 90, 100]


def test_named_steps_stay_for_good(tmp_path):
    with CheckpointStore(tmp_path / "c", keep=1, kept=(20, 30)) as store:
        for step in range(10, 61, 10):
            store.save(step, state(step), "plan")
    assert CheckpointStore(tmp_path / "c", keep=1).steps == [20, 30, 60]


def test_a_checksum_sees_every_bit_and_no_sharding():
    want = checksums(state()["parameters"])
    for sizes in MESHES[1:]:
        assert checksums(state(0, sizes)["parameters"]) == want
    tree = jax.device_get(state()["parameters"])
    kernel = tree["text"]["layers"]["q"]["kernel"].copy()
    kernel.view(np.uint32)[1, 3, 2] ^= 1  # the last bit of one value
    assert checksums({"text": tree["text"] | {"layers": {"q": {"kernel": jnp.asarray(kernel)}}}}) != want
    swapped = tree["text"]["embedding"].copy()
    swapped[[0, 1]] = swapped[[1, 0]]
    assert checksums({"text": tree["text"] | {"embedding": jnp.asarray(swapped)}}) != want
