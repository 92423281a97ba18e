"""Tasks of text: problems in words, their templates, demonstrations and graders; importing the room registers them."""

from chainlift.text import gsm8k as gsm8k
from chainlift.text import math_data as math_data
from chainlift.text import word_problems as word_problems
