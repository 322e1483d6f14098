"""Where a store lies: a folder, one that several machines share, or an address of an object store with a cache here."""

from pipeline.store.opened import ModelStore, open_store
from pipeline.store.place import StorePlace, store_place

__all__ = ["ModelStore", "StorePlace", "open_store", "store_place"]
