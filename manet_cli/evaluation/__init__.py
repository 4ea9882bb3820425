"""Quality of results: metrics, test protocols and studies."""
