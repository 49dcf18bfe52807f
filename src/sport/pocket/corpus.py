"""What only a search knows: price lists of the pocket world's shops.

A price is a checksum of the shop and the article, so that nothing but the page can tell it. A
shop sells every shape and a dozen of its split's products.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from functools import cache

from sport.pocket.grammar import SHAPES, SPLITS, Split, products, shops

_PRODUCTS_PER_SHOP = 12


def shop_price(shop: str, article: str) -> float:
    """Price of an article at a shop, in dollars: 1.05 to 5.54."""
    return 1.05 + zlib.crc32(f"{shop}|{article}".encode()) % 450 / 100


@cache
def shop_products(shop: str, split: Split) -> tuple[str, ...]:
    """The products that a shop of a split sells."""
    return tuple(random.Random(shop).sample(products(split), _PRODUCTS_PER_SHOP))


def documents() -> Iterator[tuple[str, str]]:
    """All documents: (title, text)."""
    for split in SPLITS:
        for shop in shops(split):
            for article in (*SHAPES, *shop_products(shop, split)):
                price = shop_price(shop, article)
                yield f"{article} at {shop}", f"At {shop} one {article} costs {price:.2f} dollars."
