"""WHAT is learned; importing the room registers the tasks that are shipped."""

from chainlift.tasks import running_sum as running_sum
