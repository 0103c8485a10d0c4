"""Folds an adapter into its base model, for programs that know nothing of adapters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from safetensors import SafetensorError

from spa.errors import RunError
from spa.models.loading import check_adapter, load_model, load_tokenizer
from spa.models.quiet import peft_without_deprecations
from spa.models.spec import ModelSpec
from spa.training.saving import save_full

__all__ = ["merge_adapter"]


def merge_adapter(base: ModelSpec, adapter: Path, output: Path, *, card: str | None = None) -> Path:
    """Writes the merged model and its tokenizer as safetensors.

    The sum of base and adapter weights is rounded to the dtype of ``base``: with bfloat16 the
    merged model's logits differ slightly from the adapter's, with float32 they are the same.

    Args:
        base: The base model; ``base.adapter`` is not used.
        adapter: Folder of the adapter.
        output: Folder to write; it must not exist, or be empty.
        card: Its README.md; None: the adapter's, with a note.

    Returns:
        ``output``.

    Raises:
        SpaError: If the adapter cannot be loaded, or ``output`` holds something.
    """
    from peft import PeftModel

    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise RunError(f"{output} exists and is not empty. Choose another folder, or delete it.")
    if not (adapter / "adapter_config.json").is_file():
        raise RunError(f"{adapter} is no adapter: it holds no adapter_config.json.")
    check_adapter(adapter)
    tokenizer = load_tokenizer(base)
    model = load_model(replace(base, adapter=None))
    try:
        with peft_without_deprecations():
            adapted = PeftModel.from_pretrained(model, str(adapter))
        merged = adapted.merge_and_unload(safe_merge=True)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise RunError(f"adapter {adapter} does not fit model {base.path!r}: {error}") from error
    save_full(merged, tokenizer, output, _card(base, adapter) if card is None else card)
    return output


def _card(base: ModelSpec, adapter: Path) -> str:
    """The adapter's card, as that of a model."""
    file = adapter / "README.md"
    card = file.read_text(encoding="utf-8") if file.is_file() else ""
    note = f"\nThis folder holds `{base.path}` with the adapter described here merged in.\n"
    return card.replace("library_name: peft", "library_name: transformers") + note
