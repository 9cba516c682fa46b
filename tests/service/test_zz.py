from tests.service.world import *
async def test_x(world):
    views = await world.be.disclose(*CLEAN[:2])
    await world.be.boot(); await world.fr.boot()
    world.faults.arm(-1,"")
    await world.be.send()
    print(world.faults.calls)
    world.faults.arm(-1,"")
    v=await world.be.request(CLEAN[3]); await world.be.approve(v)
    print(world.faults.calls)
