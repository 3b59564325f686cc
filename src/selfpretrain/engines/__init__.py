"""Where jobs are done: in processes of this machine today. Nothing here knows what a job is."""
