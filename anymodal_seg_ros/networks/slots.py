"""The fixed places of methods that have one for each kind of sensor."""

from __future__ import annotations

from torch import Tensor


def fill_slots(rows: Tensor, modality_ids: Tensor, slots: int) -> Tensor:
    """Put each row of the modality axis into the place of its kind; the other places are zero.

    Args:
        rows: ``[B, M, ...]``.
        modality_ids: int64 ``[M]``, each from 0 to ``slots`` - 1 and each once.
        slots: number of places N.

    Returns:
        ``[B, N, ...]`` of the same dtype.
    """
    empty = rows.new_zeros((rows.shape[0], slots, *rows.shape[2:]))
    return empty.index_copy(1, modality_ids.to(rows.device), rows)
