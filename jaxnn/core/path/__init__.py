"""What was recorded: a path in a trie, and what stands at its places."""
