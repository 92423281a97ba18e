"""WHAT IS SHOWN: the record of a run, drawn and told; nothing here trains or measures."""
