async def test_x(world):
    views = await world.be.disclose("BDC-000002", "BDC-000003")
    await world.be.send()
    print(world.fr.received(), world.be.release(views[0]).state, world.faults.calls)
    print([v.status for v in world.be.verdicts()])
