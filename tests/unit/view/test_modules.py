"""JavaScript modules joined into one script."""

from __future__ import annotations

import pytest

from htrun.view.modules import bundle


def of(**modules: str) -> str:
    """The script of the module ``main``."""
    return bundle("main", modules.__getitem__)


def test_each_module_is_a_function_behind_what_it_needs() -> None:
    script = of(
        main='import { twice } from "./sums.js";\nimport { half, NONE } from "./parts.js";\n\ntwice(half(NONE));\n',
        sums='import { half } from "./parts.js";\nexport async function twice(x) {\n  return x;\n}\n',
        parts="export const NONE = 0;\nexport const half = (x) => x / 2;\nexport class Part {}\n",
    )
    assert script == (
        '"use strict";\n'
        "const $parts = (() => {\nconst NONE = 0;\nconst half = (x) => x / 2;\nclass Part {}\n\n"
        "return { NONE, half, Part };\n})();\n"
        "const $sums = (() => {\nconst { half } = $parts;\nasync function twice(x) {\n  return x;\n}\n\n"
        "return { twice };\n})();\n"
        "const $main = (() => {\nconst { twice } = $sums;\nconst { half, NONE } = $parts;\n\ntwice(half(NONE));\n\n"
        "return {  };\n})();\n"
    )


@pytest.mark.parametrize(
    ("modules", "reason"),
    [
        ({"main": 'import { a } from "./b.js";\n', "b": "const a = 1;\n"}, "imports a, which b.js does not export"),
        ({"main": 'import { a } from "./main.js";\n'}, "circular import: main -> main"),
        ({"main": 'import a from "./b.js";\n', "b": ""}, "form that is not known"),
        ({"main": "export default 3;\n"}, "form that is not known"),
        ({"main": "export { a };\n"}, "form that is not known"),
    ],
)
def test_what_would_not_work_in_a_page_is_refused(modules: dict[str, str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        of(**modules)
