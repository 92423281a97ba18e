"""Common parts of the stages by TRL: settings, trainers, measurements, and cost estimates."""
