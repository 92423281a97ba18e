"""What the stages carried out by TRL share: their settings, trainers, measurements, and what they cost."""
