"""MLPerf's scenarios, issued and timed by LoadGen."""
