"""Tasks of symbols and the registry of all tasks; importing this package registers the shipped tasks of symbols."""

from chainlift.tasks import graph_path as graph_path
from chainlift.tasks import gym as gym
from chainlift.tasks import multiplication as multiplication
from chainlift.tasks import permutation as permutation
from chainlift.tasks import running_sum as running_sum
