"""The two languages of generated word problems: other people, things, sentences and orders of sentences.

Both tell the same kinds of events, and their solutions have lines of the same form. So a model that has learned one
language from demonstrations can be tested on the other. The second one asks its question before it tells the story.
"""

from __future__ import annotations

from chainlift.text.sources.word_stories import GETS, HAS, OTHER_HAS, Event, Language

FIRST = Language(
    people=("Anna", "Ben", "Clara", "David", "Emma", "Felix", "Grace", "Hugo", "Iris", "Jonas", "Lena", "Tom"),
    things=(
        ("apple", "apples"),
        ("book", "books"),
        ("shell", "shells"),
        ("card", "cards"),
        ("stone", "stones"),
        ("button", "buttons"),
        ("pencil", "pencils"),
        ("cookie", "cookies"),
        ("marble", "marbles"),
        ("flower", "flowers"),
    ),
    coin=("coin", "coins"),
    events=(
        Event("+", ("{who} finds {n} more {things}.", "{who} buys {n} more {things}."), HAS),
        Event("-", ("{who} gives away {n} {things}.", "{who} loses {n} {things}."), HAS),
        Event("*", ("A week later {who} has {times} as many {things} as before.",), HAS),
        Event(
            "/",
            ("{who} puts the {things} into {n} equal bags and keeps only one bag.",
             "{who} shares the {things} equally in a group of {n} people and takes one share."),
            HAS,
        ),
        Event("+", ("Now {other} has {n} {things} more than {who}.",), OTHER_HAS, "person"),
        Event("-", ("Now {other} has {n} {things} fewer than {who}.",), OTHER_HAS, "person"),
        Event("*", ("Now {other} has {times} as many {things} as {who}.",), OTHER_HAS, "person"),
        Event("*", ("{who} has no coins and sells every {thing} for {n} coins.",), GETS, "thing"),
    ),
    begin="{who} has {n} {things}.",
    boxes=Event("*", ("{who} has {before} boxes with {n} {things} in each box.",), HAS),
    ask=("How many {things} does {who} have now?", "How many {things} does {who} have in the end?"),
    ask_total="How many {things} do {other} and {who} have together?",
    times=("twice", "{n} times"),
)  # fmt: skip

SECOND = Language(
    people=("Arun", "Bella", "Carlos", "Dina", "Elif", "Farid", "Greta", "Hana", "Ivan", "Jade", "Kofi", "Maya"),
    things=(
        ("stamp", "stamps"),
        ("ribbon", "ribbons"),
        ("bead", "beads"),
        ("pear", "pears"),
        ("lamp", "lamps"),
        ("feather", "feathers"),
        ("sticker", "stickers"),
        ("bottle", "bottles"),
        ("candle", "candles"),
        ("ticket", "tickets"),
    ),
    coin=("token", "tokens"),
    events=(
        Event("+", ("As a present {n} further {things} reach {who}.",
                    "Another {n} {things} arrive, and all of them go to {who}."), HAS),
        Event("-", ("Of the {things} that belong to {who}, {n} are used up.",
                    "Through a hole in the floor {n} {things} of {who} disappear."), HAS),
        Event("*", ("By the next month the number of {things} of {who} grows to {times} the old number.",), HAS),
        Event(
            "/",
            ("From the {things} of {who} come {n} piles of the same size, and all but one pile are sent to a museum.",
             "Split evenly over {n} drawers, the {things} of {who} are all removed except for a single drawer."),
            HAS,
        ),
        Event("+", ("Compared with {who}, {other} owns {n} extra {things}.",), OTHER_HAS, "person"),
        Event("-", ("Compared with {who}, {other} lacks {n} {things}.",), OTHER_HAS, "person"),
        Event("*", ("Compared with {who}, {other} owns {times} the number of {things}.",), OTHER_HAS, "person"),
        Event("*", ("All {things} of {who}, who owns no token yet, are sold at {n} tokens a {thing}.",),
              GETS, "thing"),
    ),
    begin="At first {n} {things} belong to {who}.",
    boxes=Event("*", ("At first {before} shelves that carry {n} {things} each belong to {who}.",), HAS),
    ask=("Work out the final number of {things} that {who} owns.", "What number of {things} belongs to {who} at last?"),
    ask_total="What number of {things} do {other} and {who} own if counted jointly?",
    times=("double", "{n} times"),
    asks_first=True,
)  # fmt: skip

LANGUAGES = {"first": FIRST, "second": SECOND}
