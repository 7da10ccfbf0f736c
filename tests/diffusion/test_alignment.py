"""Which words of two captions belong together."""

from __future__ import annotations

import torch

from ip2p_cli.diffusion.alignment import cross_edit, local_blend
from ip2p_cli.models.loader import Editor

# The tiny tokenizer knows letters only: a token a letter, after the mark of the start.
FIRST, SECOND = "a cat sat", "a dog sat"


def test_words_that_both_have_take_the_firsts_maps(tiny_editor: Editor) -> None:
    for mode, swapped in (("replace", 1.0), ("refine", 0.0)):
        edit = cross_edit(tiny_editor, FIRST, SECOND, mode, until=0.5)  # type: ignore[arg-type]
        assert edit.until == 0.5
        assert edit.take[[0, 1, 5, 6, 7, 8]].tolist() == [1] * 6
        assert edit.take[2:5].tolist() == [swapped] * 3
        # Each taken column is made of one whole column of the first caption's map.
        torch.testing.assert_close(edit.mapper.sum(dim=0), edit.take)
        assert edit.mapper[5, 5] == 1


def test_words_of_other_lengths_shift_what_follows(tiny_editor: Editor) -> None:
    edit = cross_edit(tiny_editor, "a cat sat", "a horse sat", "replace")
    assert edit.mapper[5, 7] == 1
    torch.testing.assert_close(edit.mapper[:, :8].sum(dim=0), torch.ones(8))
    assert edit.mapper[2:5, 2:7].count_nonzero() >= 5


def test_only_what_is_added_weighs_more(tiny_editor: Editor) -> None:
    edit = cross_edit(tiny_editor, FIRST, SECOND, "refine", reweight=2.0)
    assert edit.weight[2:5].tolist() == [2.0] * 3
    assert edit.weight.sum() == len(edit.weight) + 3


def test_blends_are_where_captions_differ(tiny_editor: Editor) -> None:
    blend = local_blend(tiny_editor, FIRST, SECOND)
    assert blend is not None
    assert blend.first.nonzero().flatten().tolist() == blend.second.nonzero().flatten().tolist() == [2, 3, 4]
    assert local_blend(tiny_editor, FIRST, FIRST) is None
