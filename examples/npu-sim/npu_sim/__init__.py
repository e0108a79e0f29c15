"""A simulated tile machine for ircc: what a backend for chips of this kind is made of.

`machine.py` is the chip, `device.py` its driver: they need NumPy only. `backend.py` is the compiler's half, with the
chip's instructions in `instructions.py`, its schedules in `matrix.py` and `vector.py`, and the printer of its programs
in `program.py`."""
