import type { Disk, DiskFile } from '../../coordinator/journal/disk.ts';
import type { JournalRecord } from '../../coordinator/journal/journal.ts';

export class SimulatedJournal {
  private records: JournalRecord[];
  private readonly file: DiskFile;
  private size: number;
  constructor(file: DiskFile, records: JournalRecord[], size: number) {
    this.file = file;
    this.records = records;
    this.size = size;
  }
  static async open(disk: Disk, dir: string): Promise<SimulatedJournal> {
    const file = await disk.open(`${dir}/journal`, 'readWrite');
    const text = (await file.read(0, 1e12)).toString();
    const good = text.slice(0, text.lastIndexOf('\n') + 1);
    await file.truncate(good.length);
    await file.write(Buffer.from(good), 0);
    await file.datasync();
    await disk.syncDirectory(dir);
    const records = good
      .split('\n')
      .filter((l) => l !== '')
      .flatMap((l) => JSON.parse(l) as JournalRecord[]);
    return new SimulatedJournal(file, records, good.length);
  }
  takeRecords(): JournalRecord[] {
    return this.records;
  }
  async append(records: readonly JournalRecord[]): Promise<void> {
    const bytes = Buffer.from(`${JSON.stringify(records)}\n`);
    await this.file.write(bytes, this.size);
    await this.file.datasync();
    this.size += bytes.length;
  }
}
