"""thin"""
import sys, time, torch
from pathlib import Path
from studies.augment.harm.run import Settings, make_part, open_folder, parts_of
torch.set_num_threads(1)
folder = Path(sys.argv[1]); s = Settings(); open_folder(folder, s)
for name in parts_of(s):
    if len(sys.argv) > 2 and not name.startswith(sys.argv[2]): continue
    t, c = time.time(), time.process_time()
    make_part(s, folder, name)
    print(name, f"wall {time.time()-t:.0f} cpu {time.process_time()-c:.0f}", flush=True)
