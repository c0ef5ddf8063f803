"""A directory to boot from over the network: Debian's kernel, the tiny initramfs, and a script for iPXE that finds them beside itself, by TFTP or HTTP."""
from pathlib import Path

from emu.guests import linux

SOURCES = (*linux.SOURCES, Path(__file__))
KERNEL, INITRAMFS = 'vmlinuz-686', 'initramfs-686-tiny.gz'
SCRIPT = f"""#!ipxe
kernel {KERNEL} console=ttyS0
initrd {INITRAMFS}
boot
"""


def make(folder: Path, kernels: dict[str, Path]) -> dict[str, str]:
    """Fills a folder; no packages but those of `linux`."""
    for name in (KERNEL, INITRAMFS): (folder / name).write_bytes(kernels[name].read_bytes())
    (folder / 'boot.ipxe').write_text(SCRIPT)
    return {}
