"""How good a result is: metrics, test protocols and studies."""
