from pathlib import Path

from secagg.engines.swap import plain_swap

HEAD = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"


def device(block: Path, name: str, *, uuid: str | None = None, below: tuple[str, ...] = ()) -> None:
    (block / name / "slaves").mkdir(parents=True)
    for each in below:
        (block / name / "slaves" / each).touch()
    if uuid is not None:
        (block / name / "dm").mkdir()
        (block / name / "dm" / "uuid").write_text(f"{uuid}\n")


def test_swap_on_a_plain_disk_or_in_a_file_is_found(tmp_path: Path) -> None:
    device(tmp_path, "sda2")
    device(tmp_path, "dm-0", uuid="LVM-abc", below=("sda2",))
    swaps = HEAD + "/dev/sda2 partition 1 0 -2\n/dev/dm-0 partition 1 0 -3\n/swap\\040file file 1 0 -4\n"
    assert plain_swap(swaps, tmp_path) == ("/dev/sda2", "/dev/dm-0", "/swap\\040file")


def test_swap_that_is_encrypted_or_in_memory_is_not(tmp_path: Path) -> None:
    device(tmp_path, "sda2")
    device(tmp_path, "dm-0", uuid="CRYPT-PLAIN-swap", below=("sda2",))
    device(tmp_path, "dm-1", uuid="LVM-abc", below=("dm-0",))
    swaps = HEAD + "/dev/dm-0 partition 1 0 -2\n/dev/dm-1 partition 1 0 -3\n/dev/zram0 partition 1 0 100\n"
    assert plain_swap(swaps, tmp_path) == ()
    device(tmp_path, "dm-2", uuid="LVM-def", below=("dm-0", "sda2"))
    assert plain_swap(HEAD + "/dev/dm-2 partition 1 0 -2\n", tmp_path) == ("/dev/dm-2",)


def test_no_swap_is_none(tmp_path: Path) -> None:
    assert plain_swap(HEAD, tmp_path) == plain_swap("", tmp_path) == ()
