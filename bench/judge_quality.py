"""How often the judge `constitution` agrees with known labels.

    python bench/judge_quality.py                    # a table; minutes
    python bench/judge_quality.py --limit 40 --json  # one line of JSON
    python bench/judge_quality.py --data FOLDER      # where the data lie

The data are JSON Lines files of public benchmarks, which are not part of spa; sets whose file is
missing are left out, with a message. Both modes of the judge score the same responses, on all
objectives of a set at once, as in a run:

- ``pyrit_refusal_judge``: is the answer a refusal? Area under the ROC curve.
- ``hhh_alignment_pairs``: which of two answers is more harmless, honest or helpful? (Category
  "other" is judged on helpfulness.) Pairwise accuracy.
- ``truthfulqa_truth_info_pairs``: which of two answers is true, and which is informative, where
  their labels differ? Pairwise accuracy.

Ties count half. Intervals (95 %) are percentile bootstraps over prompts. Beside them stand the
share of ties, and of responses that the judge left unscored, which are in no comparison.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from judging.labelled import DATA, MissingDataError, load
from judging.quality import Agreement, agreement
from judging.scoring import judge
from judging.settings import MODEL
from train.machine import machine

MODES = ("expected", "generate")
HERE = Path(__file__).resolve().parents[1]


def main() -> int:
    """Judges, prints, and returns the exit code."""
    arguments = _arguments()
    _say(f"measured on {machine(arguments.threads, arguments.device, arguments.dtype)}")
    found: dict[str, dict[str, dict[str, Agreement]]] = {}
    for name in arguments.sets:
        try:
            found[name] = _judged(name, arguments)
        except MissingDataError as error:
            _say(f"{name} is left out: {error}")
    if not found:
        _say("there is nothing to judge")
        return 0
    if arguments.json:
        print(json.dumps(_plain(found)), flush=True)
    else:
        print(_table(found), flush=True)
    return 0


def _judged(name: str, arguments: argparse.Namespace) -> dict[str, dict[str, Agreement]]:
    """Agreement of every mode in every group of comparisons."""
    data = load(name, arguments.data, arguments.limit)
    import torch

    from spa.components.backends.hf import HFBackend
    from spa.components.backends.hf_config import HFConfig
    from spa.components.judges.configs import ConstitutionConfig

    torch.set_num_threads(arguments.threads)
    model = {"path": arguments.model, "dtype": arguments.dtype, "device": arguments.device}
    backend = HFBackend(HFConfig.model_validate(model))
    found = {}
    for mode in arguments.modes:
        _say(f"{name}: {len(data.rows)} responses, mode {mode}")
        scores = judge(data.rows, backend, ConstitutionConfig(mode=mode))
        found[mode] = {
            group: agreement(data, objective, pairs, scores)
            for group, (objective, pairs) in data.groups.items()
        }
    backend.close()
    return found


def _plain(found: dict[str, dict[str, dict[str, Agreement]]]) -> dict[str, Any]:
    return {
        name: {
            mode: {group: one.to_json() for group, one in groups.items()}
            for mode, groups in modes.items()
        }
        for name, modes in found.items()
    }


def _table(found: dict[str, dict[str, dict[str, Agreement]]]) -> str:
    lines = ["| data | objective | mode | comparisons | agreement | ties | unscored |"]
    lines.append("|---|---|---|---|---|---|---|")
    for name, modes in found.items():
        for mode, groups in modes.items():
            for group, one in groups.items():
                share = "none" if one.agreement is None else f"{one.agreement:.3f}"
                if one.low is not None:
                    share += f" [{one.low:.3f}, {one.high:.3f}]"
                ties = "" if one.ties is None else f"{one.ties:.1%}"
                lines.append(
                    f"| {name} | {group} | {mode} | {one.comparisons} | {share} | {ties} "
                    f"| {one.unscored:.1%} |"
                )
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = Path(os.environ.get("SPA_SHARED_DATA") or HERE.parent / "shared" / "data")
    parser.add_argument(
        "--data",
        type=Path,
        default=default,
        help="folder with the files; default: $SPA_SHARED_DATA, or shared/data beside the checkout",
    )
    parser.add_argument("--sets", nargs="+", choices=list(DATA), default=list(DATA))
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--limit", type=int, help="read so many rows of each set; default: all")
    parser.add_argument("--quick", action="store_true", help="the same as --limit 4")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--model", default=MODEL, help="path as in a recipe")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of torch")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.limit = 4
    if arguments.limit is not None and arguments.limit < 1:
        parser.error("--limit must be at least 1")
    return arguments


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
