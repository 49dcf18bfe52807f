"""The embedded controller's tokenizer: byte-level BPE, trained on the pocket world's own words.

Digits and spaces are tokens of their own, so that a word or a number is the same tokens wherever
it stands: copying one from an observation into code is then a matter of attention alone. The
boilerplate of the action format and of the tools' calls are single tokens, which shortens a
trajectory by about a third.
"""

from __future__ import annotations

from collections.abc import Iterator

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from sport.pocket.grammar import (
    ADJECTIVES,
    COLOURS,
    MONTHS,
    NOUNS,
    SHAPES,
    SHOP_FIRST,
    SHOP_SECOND,
    TITLES,
    make_problem,
)

PAD, IMAGE, END_OF_TURN = "<|endoftext|>", "<image>", "<|im_end|>\n"
USER, ASSISTANT, SYSTEM = "<|im_start|>user\n", "<|im_start|>assistant\n", "<|im_start|>system\n"
SPECIAL = (PAD, IMAGE, END_OF_TURN, USER, ASSISTANT, SYSTEM)

CHAT_TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' }}"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}<image>"
    "{% elif c['type'] == 'text' %}{{ c['text'] }}{% endif %}{% endfor %}{% endif %}"
    "{{ '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

_BOILERPLATE = (
    "Thought: ",
    "\nCode:\n```py\n",
    "\n```<end_action>",
    "Observation:\n",
    "Files: ",
    "image_0.png",
    'image_path="image_0.png")',
    'text = ocr(image_path="image_0.png")\nprint(text)',
    ' = objectlocation(object="',
    '", image_path="image_0.png")\nprint(len(',
    'page = ask_search_agent(query="price of ',
    '")\nprint(page)',
    'text = visualizer(question="',
    '", image_path="image_0.png")\nprint(text)',
    "import re\n",
    'float(re.search(r"',
    '\\D*([\\d.]+)", text)[1])',
    '\\D*([\\d.]+)", page)[1])',
    'row = re.search(r"',
    '\\D*(\\d+)\\D+(\\d+)", text)\n',
    "final_answer(",
    "final_answer(round(",
    "final_answer(len(boxes))",
    "final_answer(round(a - b, 2))",
    "final_answer(int(row[1]) + int(row[2]))",
    "final_answer(len(first) - len(second))",
    ", 2))",
    "price = ",
    "count = ",
    "a = ",
    "b = ",
    "boxes",
    "I will read the text in the picture.",
    "I will find each ",
    " in the picture.",
    "I will search the price of ",
    "I can compute the answer.",
    "How many ",
    "How many more ",
    "How much do ",
    "How much more does ",
    "How much larger is ",
    "How much cheaper is ",
    "What do all the ",
    " are in the picture?",
    " in the chart?",
    " were sold in ",
    " cost at ",
    " costs ",
    " dollars.",
)


_OBSERVED = (
    "NameError SyntaxError TypeError NoneType object name is not defined did you mean "
    "subscriptable was never closed invalid syntax unterminated string literal detected line "
    "no output print what you need to see No results found one costs printed sheet with several "
    "lines of text cannot read them reliably chart horizontal bars Some coloured objects on "
    "plain ground more than few photograph"
)


def _words() -> Iterator[str]:
    yield from _OBSERVED.split()
    for group in (ADJECTIVES, COLOURS, MONTHS, NOUNS, SHAPES, SHOP_FIRST, SHOP_SECOND):
        yield from group
        yield from (w + "s" for w in group)
    for title in TITLES:
        yield from title.split()


def _texts(problems: int) -> Iterator[str]:
    """Text of the training split, and every word of the world often enough to be one token."""
    for seed in range(problems):
        problem = make_problem("train", seed)
        yield problem.query
        for move in problem.moves:
            yield f"Thought: {move.thought}\nCode:\n```py\n{move.code}\n```<end_action>"
    for _ in range(200):
        yield from _words()


def train_tokenizer(vocab_size: int = 832) -> PreTrainedTokenizerFast:
    """Trains the tokenizer; the same size gives the same tokenizer."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.Split(Regex(r"\s"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        _texts(1000),
        trainers.BpeTrainer(
            vocab_size=vocab_size - len(_BOILERPLATE),
            special_tokens=list(SPECIAL),
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    bpe.add_tokens([AddedToken(t, normalized=False) for t in _BOILERPLATE])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=PAD,
        eos_token=END_OF_TURN,
        clean_up_tokenization_spaces=False,
        extra_special_tokens={"image_token": IMAGE},
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
