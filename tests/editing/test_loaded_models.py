"""Models that several threads ask for."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from ip2p_cli.editing.model_choice import ModelChoice
from ip2p_cli.editing.work import LoadedModels
from ip2p_cli.models.editor import Editor
from ip2p_cli.models.registry import find_model


def test_threads_that_ask_at_once_get_the_same_model(tiny_editor: Editor) -> None:
    loads: list[ModelChoice] = []

    def load(choice: ModelChoice) -> Editor:
        loads.append(choice)
        time.sleep(0.1)
        return tiny_editor

    models, choice = LoadedModels(load), ModelChoice(spec=find_model("nano"))
    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(models, [choice] * 3)) == [tiny_editor] * 3
    assert loads == [choice]
