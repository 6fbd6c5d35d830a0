"""The networks as one reads them: blocks and ESRN on MindSpore. They name the parameters, and are what is exported."""
